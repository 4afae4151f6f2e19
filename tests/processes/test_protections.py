"""The fault tests can fail: each protection is taken out of a copy of the program, and one does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

# What is taken out, and the test that notices: file, old words, new words.
PROTECTIONS = {
    "a signal waits for the step's end": (
        "system/signals.py",
        "if not _held and (impatient or not (_deferring or is_ending())):",
        "if True:",
        "tests/processes/test_exact_resume.py::test_stopped_by_a_signal",
    ),
    "the checkpoint before the last is kept": (
        "runs/checkpoint_files.py",
        "replace(path, previous(path))",
        "pass",
        "tests/processes/test_exact_resume.py::test_a_truncated_checkpoint_falls_back",
    ),
    "a checkpoint is written beside the old one": (
        "runs/checkpoint_files.py",
        'fresh = path.with_suffix(".new")\n    try:\n'
        "        write_atomic(fresh, lambda file: torch.save(checkpoint, file))",
        'fresh = path.with_suffix(".new")\n    try:\n'
        "        torch.save(checkpoint, path), shutil.copy(path, fresh)",
        "tests/processes/test_exact_resume.py::test_killed_while_it_saves",
    ),
    "metrics.csv is cut back to the checkpoint": (
        "training/callbacks/journal.py",
        "write_rows(self.folder, self.rows)",
        "pass",
        "tests/processes/test_exact_resume.py::test_killed_while_it_saves",
    ),
    "the run is locked": (
        "system/kernel_lock.py",
        "fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
        "tests/runs/test_run_folder.py::test_lock",
    ),
    "a run ends when its sweep is killed": (
        "sweeps/launchers/children.py",
        "threading.Thread(target=end_when_asked, args=[stopped], daemon=True).start()",
        "pass",
        "tests/processes/test_local_sweep.py::test_a_killed_sweep_leaves_no_orphans",
    ),
    "an error of the status hides none of the run": (
        "training/ends.py",
        "    except OSError as second:\n        log.warning(",
        "    except ZeroDivisionError as second:\n        log.warning(",
        "tests/processes/test_faults.py::test_a_full_disk",
    ),
    "what Hydra would act on is compared": (
        "config/strangers.py",
        "refuse_difference(found.hydra, composed_by_us(",
        "(found, composed_by_us(",
        "tests/config/test_foreign_folders.py::test_what_would_act_is_refused",
    ),
    "what a logger sends is typed": (
        "config/strangers.py",
        'if key != "name" and setting not in typed and (',
        'if key == "" and (',
        "tests/config/test_foreign_folders.py::test_nothing_is_sent_for_a_stranger",
    ),
    "a tracker ends no run": (
        "training/loggers/tracked.py",
        "        except Exception as error:\n",
        "        except ZeroDivisionError as error:\n",
        "tests/training/test_loggers.py::test_a_tracker_that_fails_does_not_end_a_run",
    ),
    "a tracker has an epoch once": (
        "training/loggers/mlflow_tracker.py",
        "if epoch not in self.known:",
        "if True:",
        "tests/training/test_loggers.py::test_mlflow_has_every_epoch_once",
    ),
    "a run that goes on is the same at a tracker": (
        "training/loggers/tracked.py",
        'return found.run_id if (found.logger, found.where) == (logger, where) else ""',
        'return ""',
        "tests/training/test_loggers.py::test_wandb_has_every_epoch_once",
    ),
    "W&B is not told the machine's name": (
        "training/loggers/weights_and_biases.py",
        'host="",  # not this machine\'s name',
        "",
        "tests/training/test_loggers.py::test_wandb_has_nothing_of_this_machine",
    ),
    "secrets are not read": (
        "config/strangers.py",
        "if name not in PLACES and not any(map(typed.search, words)):",
        "if False:",
        "tests/config/test_foreign_folders.py::test_a_secret_is_not_read",
    ),
    "the working folder is left out": (
        "system/safe_path.py",
        'os.environ[SAFE_PATH] = "1"',
        'os.environ["UNSAFE"] = "1"',
        "tests/processes/test_working_folder.py::test_every_way_to_start_a_process",
    ),
    "what is not a run's is left alone": (
        "runs/folder.py",
        "return any(fnmatch(name, pattern) for pattern in OURS)",
        "return True",
        "tests/runs/test_run_folder.py::test_what_is_not_ours_stays",
    ),
    "the content of a checkpoint is looked at": (
        "runs/checkpoint_files.py",
        "            refuse_content(checkpoint, path)\n",
        "",
        "tests/training/test_resume.py::test_wrong_content_is_not_gone_on_with",
    ),
    "a record is of the run that is asked for": (
        "runs/finished.py",
        "if (record.identity, record.seed) != (identity, folder.seed):",
        "if False:",
        "tests/runs/test_run_folder.py::test_a_copy_under_another_seeds_name_is_not_believed",
    ),
    "the images are looked at again": (
        "data/find.py",
        "if source.from_files and find_data(data, sources)[0].fingerprint != source.fingerprint:",
        "if False:",
        "tests/data/test_imagenet_subset.py::test_images_replaced_during_a_run",
    ),
    "an end that a signal has begun is not cut short": (
        "system/signals.py",
        "if not _held and (impatient or not (_deferring or is_ending())):",
        "if impatient or not _deferring:",
        "tests/processes/test_ends.py::test_a_second_signal_while_the_status_is_written",
    ),
    "a run is looked at again under its lock": (
        "training/run.py",
        "if folder.finished and not overwrite:  # another",
        "if False:  # another",
        "tests/runs/test_run_folder.py::test_a_run_that_another_process_finishes_while_it_is_waited_for",
    ),
    "the processes of a run use the loopback interface": (
        "training/distributed/processes.py",
        '"GLOO_SOCKET_IFNAME": loopback(),',
        "",
        "tests/processes/test_sweep_ends.py::test_the_processes_of_a_run_talk_on_this_machine_alone",
    ),
    "a run of a sweep and its fork server are started with signals blocked": (
        "sweeps/launchers/children.py",
        "signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})",
        "tests/processes/test_local_sweep.py::test_a_stopped_sweep_saves_its_runs",
    ),
    "a compiled library is checked before it is loaded": (
        "networks/kernels/library.py",
        'return path.with_suffix(".sha256").read_text(encoding="utf-8").strip() == checksum(path)',
        "return path.exists()",
        "tests/networks/test_compiled_library.py::test_a_damaged_library_is_built_anew",
    ),
    "a run that another machine makes has a place for each precision": (
        "training/places.py",
        'if config.trainer.precision != "auto":',
        "if True:",
        "tests/sweeps/test_made_elsewhere.py::test_planned_without_bfloat16_and_made_with_it",
    ),
    "processes exchange what they know every few steps": (
        "training/callbacks/agreement.py",
        "if self.starts_epoch or ends_epoch or self.steps >= self.every:",
        "if True:",
        "tests/training/test_agreement.py::"
        "test_a_step_exchanges_one_number_and_the_rest_once_in_many",
    ),
    "float16 is chosen where a card multiplies it alone": (
        "networks/hardware.py",
        'else "16-mixed" if major == 7 else 32',
        "else 32",
        "tests/networks/test_hardware.py::test_precision_is_what_the_card_multiplies",
    ),
    "float16 has a loss scale": (
        "training/precision.py",
        'MixedPrecision("16-mixed", device_type, torch.amp.GradScaler(device_type))',
        'MixedPrecision("bf16-mixed", device_type)',
        "tests/device/test_training_on_device.py::test_an_overflow_is_no_divergence",
    ),
    "a step that overflows is not taken": (
        "training/optimizers.py",
        "self.halted if overflow is None else torch.maximum(overflow, self.halted)",
        "self.halted",
        "tests/training/test_loss_guard.py::test_either_flag_skips_a_step",
    ),
    "a checkpoint is read onto the CPU": (
        "runs/checkpoint_files.py",
        'torch.load(path, "cpu", weights_only=True, mmap=mmap)',
        "torch.load(path, None, weights_only=True, mmap=mmap)",
        "tests/training/test_resume.py::test_a_run_that_was_saved_on_a_gpu_is_read_onto_the_cpu",
    ),
    "the words of every library for no memory are known": (
        "system/memory.py",
        'r"|alloc(?:ation)?_?failed|status_memory_error|erroroutofmemory|errormemoryallocation"',
        'r""',
        "tests/system/test_memory.py::test_a_shortage_is_known_by_its_words",
    ),
}


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_what_is_taken_out_is_there(protection: str) -> None:
    name, old, _, test = PROTECTIONS[protection]
    assert (ROOT / "senet_train" / name).read_text("utf-8").count(old) == 1
    file, _, function = test.partition("::")
    assert f"\ndef {function}(" in (ROOT / file).read_text("utf-8")


def passes(copy: Path, test: str) -> bool:
    """Whether the test passes in that copy. It must have run; it may have died of a signal."""
    paths = (copy, copy / "senet_train/sweeps/_plugins")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-q", "-x", "-p", "no:cacheprovider", test],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
    )
    assert done.returncode <= 1, done.stdout + done.stderr
    return done.returncode == 0


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("senet_train", "tests", "conf"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_without_it_a_test_fails(copy: Path, protection: str) -> None:
    name, old, new, test = PROTECTIONS[protection]
    file = copy / "senet_train" / name
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new).replace("import os\n", "import os\nimport shutil\n"))
    assert not passes(copy, test)


@pytest.mark.slow
def test_with_all_of_them_none_fails(copy: Path) -> None:
    assert all(passes(copy, test) for *_, test in PROTECTIONS.values())
