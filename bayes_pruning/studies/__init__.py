"""What is concluded from logged runs: Table 1, claims, which reading of the paper fits, replay, the report page.

May import: results, figures, and what they may import.
"""
