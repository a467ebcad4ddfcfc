"""What people change and ask, as typed calls that chat, jobs and the command line share."""
