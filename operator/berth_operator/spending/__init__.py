"""What the fleet spends: accrued from what runs, kept in one ConfigMap, judged against budgets and the usual."""
