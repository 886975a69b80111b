"""User names of the host, from its passwd file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .answers import answer, fact
from .base import Names, Subject
from .parsed import Parsed
from .rooted import MIB, Rooted

_PASSWD = "etc/passwd"  # noqa: S105 - the user database, not a secret
_LIMIT = 16 * MIB
_UID = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One line of passwd(5)."""

    name: str
    uid: int
    home: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Accounts:
    by_uid: Mapping[int, Account] = field(default_factory=dict)
    by_name: Mapping[str, Account] = field(default_factory=dict)


class Passwd:
    """The accounts in `/etc/passwd` below the root, read again after a change.

    Users that the host knows from elsewhere (LDAP, systemd-homed) are unknown here.
    Lines that are no accounts are skipped; of several with one uid the first counts, as for getpwuid(3).
    """

    def __init__(self, rooted: Rooted) -> None:
        self._file: Parsed[_Accounts] = Parsed(rooted, _PASSWD, _parse, _LIMIT)

    def by_uid(self, uid: int) -> Account | None:
        """The account of a uid; raises ResolverError if the file cannot be read."""
        return (self._file.get() or _Accounts()).by_uid.get(uid)

    def by_name(self, name: str) -> Account | None:
        """The account of a login name; raises ResolverError if the file cannot be read."""
        return (self._file.get() or _Accounts()).by_name.get(name)

    def of(self, user: str) -> Account | None:
        """The account that the fact `user` names, by its uid or by its name."""
        return self.by_uid(int(user)) if _UID.fullmatch(user) else self.by_name(user)


class UserNames:
    """Resolver `users`: the fact `user` becomes the login name, the fact `uid` keeps the number.

    A uid that has no account stays what it is in both.
    """

    name = "users"

    def __init__(self, passwd: Passwd) -> None:
        self._passwd = passwd

    def resolve(self, subject: Subject) -> Names | None:
        """The owner of a session, job or rootless container; None where the cgroup path tells none."""
        user = fact(subject.workload, "user")
        if not user:
            return None
        account = self._passwd.of(user)
        if account is not None:
            return answer(facts={"user": account.name, "uid": str(account.uid)})
        return answer(facts={"uid": user}) if _UID.fullmatch(user) else None


def _parse(data: bytes) -> _Accounts:
    by_uid: dict[int, Account] = {}
    by_name: dict[str, Account] = {}
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.split(":")
        if len(fields) < 6 or not fields[0] or not _UID.fullmatch(fields[2]):
            continue
        account = Account(name=fields[0], uid=int(fields[2]), home=fields[5])
        by_uid.setdefault(account.uid, account)
        by_name.setdefault(account.name, account)
    return _Accounts(by_uid=by_uid, by_name=by_name)
