/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_TESTS_SERVER_H
#define VODPIPE_TESTS_SERVER_H

/*
 * A server in Python for one program: argv is the Python to run it with and its path. It gets a folder of its own,
 * prints its ports in one line, and ends with its standard input.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char **arguments;
static pid_t server;
static int server_in;

/* folder: of mkdtemp(). The number of ports that it told, at most 3; -1: there is no server. */
static int server_start(char *folder, int ports[3])
{
    int in[2], out[2];
    char line[64] = { 0 };
    size_t n = 0;

    if (!mkdtemp(folder) || pipe(in) != 0 || pipe(out) != 0) return -1;
    server = fork();
    if (server == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        execlp(arguments[1], arguments[1], arguments[2], folder, NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    server_in = in[1];
    while (n + 1 < sizeof(line) && read(out[0], line + n, 1) == 1 && line[n] != '\n') n++;
    close(out[0]);
    return sscanf(line, "%d %d %d", &ports[0], &ports[1], &ports[2]);
}

static int server_stop(const char *folder)
{
    char command[64];

    close(server_in);
    waitpid(server, NULL, 0);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

#endif
