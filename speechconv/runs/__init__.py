"""What `extract` left in a folder, looked at as a whole.

shards      the folders of shards: their names, and which are there
counts      how many lines of each kind
merging     many shards -> one manifest
tally       one pass over the lines: counts, histograms, the worst of each kind
excerpt     the beginning of a sound, as the features were made of it
figures     the report's charts
report      all of it as one HTML page
"""
