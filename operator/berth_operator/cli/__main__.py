"""``python -m berth_operator.cli``: the command line where its programs are not installed."""

from berth_operator.cli import main

main()
