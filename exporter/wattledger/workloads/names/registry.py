"""All sources of names, in the order in which they win."""

from __future__ import annotations

from ...clock import Clock
from ...hostfs import HostFS
from ...settings import NameSettings
from .base import Resolver
from .files import file_resolvers
from .libvirt import LibvirtNames
from .machines import MachineNames
from .rooted import Rooted
from .slurm import SlurmNames
from .users import Passwd


def build_resolvers(hostfs: HostFS, clock: Clock, settings: NameSettings) -> tuple[Resolver, ...]:
    """The sources that the settings ask for; earlier ones win where two know the same field.

    Raises SettingsError when the kubelet's address cannot be used.
    """
    rooted = Rooted(hostfs.rootfs)
    kubelet: tuple[Resolver, ...] = ()
    if settings.kubelet.url is not None:
        # Its HTTP and TLS libraries cost memory that only those who use it should pay.
        from .kubelet import KubeletNames  # noqa: PLC0415
        from .kubelet_client import KubeletClient  # noqa: PLC0415

        client = KubeletClient(
            settings.kubelet.url,
            token_file=settings.kubelet.token_file,
            ca_file=settings.kubelet.ca_file,
            server_name=settings.kubelet.server_name,
        )
        kubelet = (KubeletNames(client, clock, labels=settings.kubelet.labels),)
    return (
        *kubelet,
        *file_resolvers(rooted, clock),
        SlurmNames(
            hostfs,
            rooted,
            Passwd(rooted),
            job_folder=settings.slurm_job_folder,
            gpu_folder=settings.slurm_gpu_folder,
        ),
        LibvirtNames(hostfs, rooted),
        MachineNames(rooted),
    )
