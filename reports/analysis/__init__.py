"""What the tables say: scores, comparisons, costs, and what refuses or qualifies them."""
