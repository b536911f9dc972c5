"""Many questions answered by batch jobs on Amazon Bedrock, at half price."""
