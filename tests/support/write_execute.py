"""MemoryDenyWriteExecute=yes as systemd brings it about: a filter of system calls, which Linux has known since 3.5.

https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#MemoryDenyWriteExecute=
"""

import ctypes
import errno
import platform

_CALLS = {  # of the kernel: the architecture's name, and the numbers of mmap, mprotect and pkey_mprotect
    "x86_64": (0xC000003E, 9, 10, 329),
    "aarch64": (0xC00000B7, 222, 226, 288),
}
_LOAD, _IS, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _PROTECTION = 0, 4, 32  # where they stand in what the filter is given
_WRITE_AND_EXECUTE, _EXECUTE = 6, 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38


class _Step(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("steps", ctypes.POINTER(_Step)))


def forbid() -> None:
    """From now on this process and its children get no memory that is written and run. Raises OSError."""
    architecture, mmap, mprotect, pkey_mprotect = _CALLS[platform.machine()]
    steps = (  # the numbers after a question: how many steps are left out if yes, and if no
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IS, 0, 12, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_IS, 3, 0, mmap),
        (_IS, 5, 0, mprotect),
        (_IS, 4, 0, pkey_mprotect),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _PROTECTION),
        (_AND, 0, 0, _WRITE_AND_EXECUTE),
        (_IS, 3, 4, _WRITE_AND_EXECUTE),
        (_LOAD, 0, 0, _PROTECTION),
        (_AND, 0, 0, _EXECUTE),
        (_IS, 0, 1, _EXECUTE),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    )
    laid = _Filter(len(steps), (_Step * len(steps))(*(_Step(*step) for step in steps)))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(laid))


def _prctl(what: int, *values: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(what, *(ctypes.c_ulong(value) for value in (*values, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), "the kernel takes no such filter")
