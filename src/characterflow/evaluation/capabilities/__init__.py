"""What did training cost in general ability?"""
