"""The persona: both adapters as one."""
