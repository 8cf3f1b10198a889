"""Decimal text to double precision, compiled: the very bits that correct rounding gives, whatever the number of digits.

Up to eight characters are taken at once from a 64-bit word; up to 15 significant digits are exact in double
arithmetic (Clinger 1990); more go through a 128-bit product with a power of five (Lemire, "Number parsing at a
gigabyte per second", Software: Practice and Experience 2021). What that leaves undecided is told to the caller.

Buffers are uint8 arrays with `scan_codes.PADDING` zero bytes after the text: no valid text goes on into them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types, uint64
from numba.extending import intrinsic

from evaluator.powers_of_five import FIVES_HIGH, FIVES_LOW, HIGHEST_POWER, LOWEST_POWER
from evaluator.scan_codes import FAILED

ZEROS = np.uint64(0x3030303030303030)
SEVENS = np.uint64(0x7F7F7F7F7F7F7F7F)
ABOVE_NINE = np.uint64(0x7676767676767676)
HIGH_BITS = np.uint64(0x8080808080808080)
LANES = np.uint64(0x000000FF000000FF)
LOW_PAIRS = np.uint64(0x000F424000000064)  # 100 and 1,000,000
HIGH_PAIRS = np.uint64(0x0000271000000001)  # 1 and 10,000
POWERS: Any = np.array([10.0**n for n in range(23)])

ONE, SEVEN, EIGHT, TEN, BYTE = np.uint64(1), np.uint64(7), np.uint64(8), np.uint64(10), np.uint64(0xFF)
SIXTEEN, THIRTY_TWO, SIXTY_FOUR, NONE = np.uint64(16), np.uint64(32), np.uint64(64), np.uint64(0)
EVERY_BIT = np.uint64(0xFFFFFFFFFFFFFFFF)
EXACT_INTEGER = np.uint64(1 << 53)
DOT, MINUS, PLUS, LITTLE_E, CAPITAL_E, NOUGHT = 46, 45, 43, 101, 69, 48


@intrinsic
def load64(typing: Any, buffer: Any, place: Any) -> Any:
    """Eight bytes of a buffer as one little-endian word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(buffer, types.int64), generate


@intrinsic
def byte(typing: Any, buffer: Any, place: Any) -> Any:
    """One byte of a buffer: places are never negative, and indexing would look whether they are."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.zext(builder.load(builder.gep(array.data, [arguments[1]])), ir.IntType(64))

    return types.int64(buffer, types.int64), generate


@intrinsic
def trailing_zeros(typing: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic
def leading_zeros(typing: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic
def product_high(typing: Any, left: Any, right: Any) -> Any:
    """The upper 64 bits of a product of 128."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(arguments[0], wide), builder.zext(arguments[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def as_double(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


@njit(cache=True, error_model="numpy", forceinline=True)
def not_digits(word: Any) -> Any:
    """The high bit of each byte of `word ^ ZEROS` that is no digit."""
    return (((word & SEVENS) + ABOVE_NINE) | word) & HIGH_BITS


@njit(cache=True, error_model="numpy", forceinline=True)
def eight_digits(word: Any) -> Any:
    """The number that eight digits are, the first one in the lowest byte."""
    pairs = word * TEN + (word >> EIGHT)
    return ((pairs & LANES) * LOW_PAIRS + ((pairs >> SIXTEEN) & LANES) * HIGH_PAIRS) >> THIRTY_TWO


@njit(cache=True, error_model="numpy")
def lemire(mantissa: Any, power: Any) -> Any:
    """mantissa * 10^power, correctly rounded; -1.0 when undecided. mantissa > 0."""
    if power < LOWEST_POWER or power > HIGHEST_POWER:
        return -1.0
    zeros = leading_zeros(mantissa)
    mantissa = mantissa << zeros
    high_five, low_five = FIVES_HIGH[power - LOWEST_POWER], FIVES_LOW[power - LOWEST_POWER]
    high, low = product_high(mantissa, high_five), mantissa * high_five
    if high & uint64(0x1FF) == uint64(0x1FF):
        more = product_high(mantissa, low_five)
        low = low + more
        if more > low:
            high = high + ONE
    if low == EVERY_BIT and (power < -27 or power > 55):
        return -1.0
    upper = high >> uint64(63)
    shift = upper + uint64(9)
    kept = high >> shift
    exponent = ((217706 * power) >> 16) + 63 + np.int64(upper) - np.int64(zeros) + 1023
    if exponent <= 0 or exponent >= 2047:
        return -1.0
    # Half way between two doubles, exactly: to the even one.
    if low <= ONE and -4 <= power <= 23 and kept & uint64(3) == ONE and kept << shift == high:
        kept = kept & ~ONE
    kept = (kept + (kept & ONE)) >> ONE
    if kept >= uint64(1 << 53):
        kept = uint64(1 << 52)
        exponent += 1
    return as_double((kept & ~uint64(1 << 52)) | (uint64(exponent) << uint64(52)))


@njit(cache=True, error_model="numpy")
def any_number(buffer: Any, place: Any) -> tuple[Any, Any, bool]:
    """A JSON number without its sign, of any length: (value, place after it or FAILED, whether it is undecided).

    Whole numbers of more than 18 digits are undecided.
    """
    start = place
    mantissa, digits, dropped, power = NONE, 0, False, 0
    exponent: Any
    while True:
        digit = uint64(byte(buffer, place) - 48)
        if digit > uint64(9):
            break
        if digits < 19:
            mantissa = mantissa * TEN + digit
            digits += mantissa != NONE
        else:
            power += 1
            dropped = True
        place += 1
    if place == start or (byte(buffer, start) == NOUGHT and place - start > 1):
        return 0.0, FAILED, False
    whole = True
    if byte(buffer, place) == DOT:
        whole = False
        place += 1
        first = place
        while digits <= 11:
            word = load64(buffer, place) ^ ZEROS
            if not_digits(word) != NONE:
                break
            before = mantissa
            mantissa = mantissa * uint64(100000000) + eight_digits(word)
            if before != NONE:
                digits += 8
            else:
                rest = mantissa
                while rest != NONE:
                    rest = rest // TEN
                    digits += 1
            power -= 8
            place += 8
        while True:
            digit = uint64(byte(buffer, place) - 48)
            if digit > uint64(9):
                break
            if digits < 19:
                mantissa = mantissa * TEN + digit
                digits += mantissa != NONE
                power -= 1
            else:
                dropped = True
            place += 1
        if place == first:
            return 0.0, FAILED, False
    if byte(buffer, place) == LITTLE_E or byte(buffer, place) == CAPITAL_E:
        whole = False
        place += 1
        negative = byte(buffer, place) == MINUS
        if negative or byte(buffer, place) == PLUS:
            place += 1
        first = place
        exponent = 0
        while True:
            digit = uint64(byte(buffer, place) - 48)
            if digit > uint64(9):
                break
            if exponent < 100000:
                exponent = exponent * 10 + np.int64(digit)
            place += 1
        if place == first:
            return 0.0, FAILED, False
        power += -exponent if negative else exponent
    if whole and digits > 18:
        return 0.0, place, True
    if mantissa == NONE:
        return 0.0, place, dropped
    if not dropped and mantissa <= EXACT_INTEGER and -22 <= power <= 22:
        value = np.float64(mantissa)
        return (value * POWERS[power] if power >= 0 else value / POWERS[-power]), place, False
    value = lemire(mantissa, power)
    if value < 0.0 or (dropped and lemire(mantissa + ONE, power) != value):
        return 0.0, place, True
    return value, place, False


@njit(cache=True, error_model="numpy", forceinline=True)
def number(buffer: Any, place: Any) -> tuple[Any, Any, bool]:
    """A JSON number as `json` and float() read it: (value, place after it or FAILED, whether it is undecided)."""
    negative = byte(buffer, place) == MINUS
    if negative:
        place += 1
    text = load64(buffer, place)
    word = text ^ ZEROS
    others = not_digits(word)
    if others != NONE:
        end = trailing_zeros(others) - SEVEN  # 8 x the digits before the first other character
        if end == NONE or (word & BYTE == NONE and end > EIGHT):
            return 0.0, FAILED, False
        mark = (text >> end) & BYTE
        if mark == uint64(DOT):
            others &= others - ONE
            if others != NONE:
                last = trailing_zeros(others) - SEVEN
                mark = (text >> last) & BYTE
                if last - end > EIGHT and mark != uint64(LITTLE_E) and mark != uint64(CAPITAL_E):
                    below = (ONE << end) - ONE
                    joined = (word & below) | ((word >> EIGHT) & ~below)
                    mantissa = np.float64(np.int64(eight_digits(joined << (uint64(72) - last))))
                    value = mantissa / POWERS[np.int64((last - end) >> uint64(3)) - 1]
                    return (-value if negative else value), place + np.int64(last >> uint64(3)), False
        elif mark != uint64(LITTLE_E) and mark != uint64(CAPITAL_E):
            whole = np.int64(eight_digits(word << (SIXTY_FOUR - end)))
            # Whole numbers have no negative zero.
            return np.float64(-whole if negative else whole), place + np.int64(end >> uint64(3)), False
    value, after, undecided = any_number(buffer, place)
    if negative and not (value == 0.0 and whole_number(buffer, place, after)):
        value = -value
    return value, after, undecided


@njit(cache=True, error_model="numpy")
def whole_number(buffer: Any, place: int, after: int) -> bool:
    """Whether a number between two places is written with digits alone."""
    for at in range(place, after):
        if byte(buffer, at) == DOT or byte(buffer, at) == LITTLE_E or byte(buffer, at) == CAPITAL_E:
            return False
    return True


@njit(cache=True, error_model="numpy")
def integer(buffer: Any, place: int) -> tuple[int, int]:
    """A whole number of at most 18 digits: (value, place after it or FAILED)."""
    negative = byte(buffer, place) == MINUS
    if negative:
        place += 1
    start = place
    value = 0
    while True:
        digit = byte(buffer, place) - 48
        if digit < 0 or digit > 9:
            break
        value = value * 10 + digit
        place += 1
        if place - start > 18:
            return 0, FAILED
    mark = byte(buffer, place)
    if place == start or (byte(buffer, start) == NOUGHT and place - start > 1):
        return 0, FAILED
    if mark in (DOT, LITTLE_E, CAPITAL_E):
        return 0, FAILED
    return (-value if negative else value), place
