"""Which traits does a model choose to show?"""
