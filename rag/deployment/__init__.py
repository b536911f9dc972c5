"""The web service where it is not a process of one's own machine: AWS Lambda and containers."""
