"""Try every feature of Bedrock once, record the traffic, and compare it with what the emulator assumes."""
