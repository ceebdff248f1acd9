# breaks: conversion takes the projection of a stage with alignment for a part of the model
# file: src/convert/convert.cpp
# tests: cli_efficient
s/^      leave_out_projection\(result\);//
