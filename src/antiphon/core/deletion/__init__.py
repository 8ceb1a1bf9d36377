"""What deleting means, said in this one place: `engine` detaches, `worker` purges.."""
