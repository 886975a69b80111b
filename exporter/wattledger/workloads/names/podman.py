"""Names of Podman containers, rootful and rootless, from podman's own stores."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from .answers import ALLOWED_LABELS, allowed_facts, answer, container_id, fact, outer_containers
from .base import Names, NotYet, ResolverError, Subject
from .mounts import Mounts
from .podman_store import PodmanContainer, PodmanStore
from .rooted import Rooted
from .storage import Storage, StorageConfig
from .users import Passwd

_STORES = 64
_GRAPH = "/var/lib/containers/storage"


class PodmanNames:
    """Resolver `podman`: the container's name, image and pod, and of its labels those in `allowed`.

    A container of a user (the fact `user`) is looked for in root's store, then in that under the user's home.
    Podman's pods have no namespace: `pod_name` stands alone.
    """

    name = "podman"

    def __init__(
        self,
        rooted: Rooted,
        storage: StorageConfig,
        passwd: Passwd,
        mounts: Mounts,
        allowed: Mapping[str, str] = ALLOWED_LABELS,
    ) -> None:
        self._rooted = rooted
        self._storage = storage
        self._passwd = passwd
        self._mounts = mounts
        self._allowed = allowed
        self._stores: OrderedDict[Storage, PodmanStore] = OrderedDict()

    def resolve(self, subject: Subject) -> Names | None:
        """Names of a container of podman, also of one in a container with a volume for root's store.

        NotYet while a store that exists does not list it.
        """
        workload = subject.workload
        ident = container_id(workload)
        runtime = fact(workload, "runtime")
        if not ident or runtime not in {"", "podman"}:
            return None
        outer = outer_containers(workload)
        stores = self._inside(outer)
        foreign = bool(outer) and not stores
        failure: ResolverError | None = None
        try:
            stores = stores or self._candidates(fact(workload, "user"))
        except ResolverError as error:
            failure = error
        expected = False
        for store in stores:
            try:
                found = store.find(ident)
                expected = expected or (found is None and store.exists())
            except ResolverError as error:
                failure = error
                continue
            if found is not None:
                return None if found.foreign else self._answer(found)
        if failure is not None and runtime:
            raise failure
        if expected and runtime and not foreign:
            raise NotYet
        return None

    def _candidates(self, user: str) -> list[PodmanStore]:
        storages = [self._storage.rootful()]
        account = self._passwd.of(user) if user else None
        if account is not None and account.uid:
            storages.append(self._storage.rootless(account))
        return [self._store(storage) for storage in storages]

    def _store(self, storage: Storage) -> PodmanStore:
        store = self._stores.pop(storage, None) or PodmanStore(self._rooted, storage)
        self._stores[storage] = store
        if len(self._stores) > _STORES:
            self._stores.popitem(last=False)
        return store

    def _inside(self, outer: tuple[str, ...]) -> list[PodmanStore]:
        places = self._mounts.inside(outer, _GRAPH)
        return [PodmanStore(place.rooted, Storage(place.path, place.path)) for place in places]

    def _answer(self, found: PodmanContainer) -> Names | None:
        return answer(
            name=found.name,
            pod_name=found.pod,
            facts={
                "runtime": "podman",
                "image": found.image,
                **allowed_facts(found.labels, self._allowed),
            },
        )
