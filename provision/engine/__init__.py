"""The only writer: carries out what the steps say, in generations that can be killed anywhere."""
