"""What calls use and cost: tokens, prices, budgets and the ledger."""
