"""Losses, fitting, teachers and distillation."""
