"""Virtual machines in which the local AWS really runs its instances, by QEMU without help of the processor.

``base_disk`` makes Debian's disk as EC2 has it, ``qemu`` says how a machine is started, ``world`` is the network
that it is in, and ``fleet`` keeps the machines that run. ``local_aws.server.ec2.machines`` connects them with EC2.
"""
