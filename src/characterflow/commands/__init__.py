"""The commands that people type, a module each; command_line puts them together."""
