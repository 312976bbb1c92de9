"""Which of two methods' answers fits the persona better?"""
