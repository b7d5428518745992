"""The commands, a file each: `add` tells the parser of its options, `run` does the work and returns the exit status.

options    options that several commands take, and what they mean
output     results to stdout, talk to stderr
status     exit statuses
"""
