"""Floor 5: is this model, or this training set, backdoored?"""
