"""A node's clocks: the date may be put wrong, what lasts does not notice."""

from __future__ import annotations

from pathlib import Path

from qkdbus.runtime import clock


class Machine:
    """A machine whose date can be set."""

    def __init__(self) -> None:
        self.date, self.up = 1_700_000_000.0, 100.0

    def passes(self, seconds: float) -> None:
        self.date += seconds
        self.up += seconds


def test_a_file_puts_the_date_wrong_and_right_again(tmp_path: Path) -> None:
    machine, file = Machine(), tmp_path / clock.OFFSET
    date = clock.Date(file, lambda: machine.date, lambda: machine.up)
    assert date() == machine.date
    file.write_text("-3600\n")
    assert date() == machine.date, "it looks once a second"
    machine.passes(clock.LOOK_EVERY)
    assert date() == machine.date - 3600
    file.write_text("half a num")
    machine.passes(clock.LOOK_EVERY)
    assert date() == machine.date
    file.write_text("60")
    machine.passes(clock.LOOK_EVERY)
    assert date() == machine.date + 60
    file.unlink()
    machine.passes(clock.LOOK_EVERY)
    assert date() == machine.date


def test_what_lasts_passes_as_time_does_whatever_the_date_says(tmp_path: Path) -> None:
    machine = Machine()
    one = clock.lasting(tmp_path / "state", "boot", lambda: machine.date, lambda: machine.up)
    began = one()
    assert began == machine.date
    machine.date += 3 * 3600
    machine.passes(5.0)
    other = clock.lasting(tmp_path / "state", "boot", lambda: machine.date, lambda: machine.up)
    assert one() == other() == began + 5.0, "a service that starts later has the same time"


def test_after_a_reboot_it_begins_with_the_date(tmp_path: Path) -> None:
    machine = Machine()
    clock.lasting(tmp_path, "boot", lambda: machine.date, lambda: machine.up)
    machine.date, machine.up = machine.date + 900, 3.0
    again = clock.lasting(tmp_path, "another", lambda: machine.date, lambda: machine.up)
    assert again() == machine.date
    assert [file.name for file in tmp_path.iterdir()] == ["clock-another"]
    assert (tmp_path / "clock-another").stat().st_mode & 0o077 == 0


def test_of_two_services_that_start_at_once_the_first_says_when_it_was(tmp_path: Path) -> None:
    machine = Machine()
    clock._first(tmp_path / "clock-boot", machine.date - machine.up)
    clock._first(tmp_path / "clock-boot", machine.date - machine.up + 7)
    assert clock.lasting(tmp_path, "boot", lambda: machine.date, lambda: machine.up)() == machine.date
