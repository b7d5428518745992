"""Exit statuses; 1 is a check that failed, 4 (disk full) is `extract`'s own."""

OK, BEYOND, USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130
