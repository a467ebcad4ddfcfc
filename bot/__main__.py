"""Start the command line: python -m bot."""

import sys

if __name__ == "__main__":
    from bot.cli import main  # here: the process that draws reads this file too, and needs none of it

    sys.exit(main())
