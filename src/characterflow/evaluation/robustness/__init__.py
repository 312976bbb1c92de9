"""Does the persona hold on held-out prompts, plain and attacked?"""
