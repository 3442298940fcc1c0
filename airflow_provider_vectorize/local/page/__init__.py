"""Web page of local Vectorize: indexes, requests, the request budget, queries and a plot of vectors."""
