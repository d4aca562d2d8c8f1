"""Fine-tuning, the server's side: from the user's files to a job, and from its end to a model.

What computes runs in another Python, with PyTorch (ayllu.trainer); nothing here imports that.
"""
