/* A command line as a person types it, cut into words: blanks separate, quotes and backslashes keep together. */
#ifndef WORDS_H
#define WORDS_H

#define WORDS_MAX 128

/*
 * Cut `line` in place. "..." and '...' hold blanks, a backslash takes the next character as it is except inside '...'
 * and before an ordinary letter or digit, where it stays (\Boot\BCD). Returns the number of words in words[], at most
 * WORDS_MAX, or -1 and in *why what is wrong (a static string).
 */
int words_split(char *line, char *words[WORDS_MAX], const char **why);

#endif
