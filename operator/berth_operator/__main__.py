"""``python -P -m berth_operator``: the operator."""

from berth_operator.main import main

main()
