"""Names of the sources of figures in storage that more than one package knows."""

SAMPLE = "sample"  # made-up figures
COMPANIES = "companies"  # what is added up from the companies that a fund holds
TYPED_IN = "csv"  # what people import themselves
