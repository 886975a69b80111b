.PHONY: help run test lint fmt docs golden bench setup

help:
	@./dev help

run test lint fmt docs golden bench setup:
	@./dev $@
