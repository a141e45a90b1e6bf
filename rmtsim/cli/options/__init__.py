"""The verbs of the command line with their options and help, without what does them."""
