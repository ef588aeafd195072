"""What was spent and will be: allocation, FOCUS rows, budgets, anomalies, forecasts, commitments, carbon."""
