"""What the emulator assumes of Amazon Bedrock, as data: each assumption is checked on recorded exchanges."""
