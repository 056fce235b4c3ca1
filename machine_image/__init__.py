"""The image of the machines: how a builder makes it, what is in it, and how a machine boots from it.

``user_data`` renders the script that the builder runs and reads its outcome from the console. What is in ``files``, and
``annex_machine`` as a whole, the script writes into the image.
"""
