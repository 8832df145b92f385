"""A release that is in use: an A/B test of its versions, and whether the data are still those that it was made for."""
