// The precompiled header of tests that use LibTorch.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "torch_pch.h"
