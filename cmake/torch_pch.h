// The precompiled header of sources that use LibTorch. Every source instantiates again what the headers here leave
// open, so the few that need torch/csrc/autograd/custom_function.h, which costs more than a second, name it themselves.
#pragma once
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "plain_pch.h"
