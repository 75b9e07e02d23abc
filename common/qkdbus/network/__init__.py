"""The network file: its model, how it is read (`load`), and what follows from it (`routes`, `addresses`)."""
