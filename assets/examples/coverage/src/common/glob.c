#include "common/glob.h"

/* Reads a set that begins behind its bracket; gives the length with the closing bracket, or 0 when it is not closed. */
static size_t set_matches(struct slice pattern, unsigned char byte, bool *matches) {
  size_t i = 0;
  bool negated = false, found = false;
  if (i < pattern.size && (pattern.data[i] == '!' || pattern.data[i] == '^')) {
    negated = true;
    i++;
  }
  for (bool first = true; i < pattern.size; first = false) {
    unsigned char low = (unsigned char)pattern.data[i], high = low;
    if (low == ']' && !first) {
      *matches = found != negated;
      return i + 1;
    }
    if (low == '\\' && i + 1 < pattern.size) low = high = (unsigned char)pattern.data[++i];
    i++;
    if (i + 1 < pattern.size && pattern.data[i] == '-' && pattern.data[i + 1] != ']') {
      high = (unsigned char)pattern.data[i + 1];
      i += 2;
    }
    if (low > high) {
      unsigned char swapped = low;
      low = high;
      high = swapped;
    }
    if (byte >= low && byte <= high) found = true;
  }
  return 0;
}

/* Matches one element of the pattern against one byte; gives the element's length, or 0 when it does not match. */
static size_t element_matches(struct slice pattern, unsigned char byte) {
  bool matches = false;
  size_t length;
  switch (pattern.data[0]) {
    case '?':
      return 1;
    case '\\':
      if (pattern.size < 2) return byte == '\\';
      return (unsigned char)pattern.data[1] == byte ? 2 : 0;
    case '[':
      length = set_matches((struct slice){pattern.data + 1, pattern.size - 1}, byte, &matches);
      if (length == 0) return byte == '[';
      return matches ? length + 1 : 0;
    default:
      return (unsigned char)pattern.data[0] == byte;
  }
}

bool glob_matches(struct slice pattern, struct slice text) {
  size_t p = 0, t = 0;
  /* Where to go on when what follows the last star did not fit. */
  size_t star = (size_t)-1, from = 0;
  while (t < text.size) {
    size_t length = 0;
    if (p < pattern.size && pattern.data[p] == '*') {
      star = ++p;
      from = t;
      continue;
    }
    if (p < pattern.size) {
      length = element_matches((struct slice){pattern.data + p, pattern.size - p}, (unsigned char)text.data[t]);
    }
    if (length > 0) {
      p += length;
      t++;
    } else if (star != (size_t)-1) {
      p = star;
      t = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.size && pattern.data[p] == '*') p++;
  return p == pattern.size;
}

bool glob_is_sound(struct slice pattern) {
  for (size_t i = 0; i < pattern.size; i++) {
    bool ignored;
    size_t length;
    switch (pattern.data[i]) {
      case '\\':
        if (++i == pattern.size) return false;
        break;
      case '[':
        length = set_matches((struct slice){pattern.data + i + 1, pattern.size - i - 1}, 0, &ignored);
        if (length == 0) return false;
        i += length;
        break;
      default:
        break;
    }
  }
  return true;
}
