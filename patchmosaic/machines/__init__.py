"""The analytic predictors: posterior means without trained weights, and their brute force."""
