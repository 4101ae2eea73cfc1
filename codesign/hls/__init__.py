"""The only door to hls4ml: conversion, projects on disk, C simulation by g++, vendor tools and their runs."""
