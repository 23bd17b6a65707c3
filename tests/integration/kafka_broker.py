# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real Kafka broker for tests: one node of Apache Kafka in KRaft mode on free loopback ports, its jars from Maven Central
(once, BUILD/kafka), a heap of 256 MB. `need()` says what is missing."""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid

VERSION = "3.9.1"
START_S = 300
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>vodpipe.tests</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>%s</version>
    </dependency>
  </dependencies>
</project>
"""
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=120000
"""


class Missing(Exception):
    """Why there can be no broker here."""


def need():
    for name, package in (("java", "default-jre-headless"), ("mvn", "maven")):
        if not shutil.which(name):
            raise Missing("no %s here (Debian: %s)" % (name, package))
    if subprocess.run(["java", "-version"], capture_output=True).returncode:
        raise Missing("java does not start")


def jars(cache):
    """Folder of the broker's jars; fetched once."""
    libs = os.path.join(cache, "libs-" + VERSION)
    if os.path.isdir(libs):
        return libs
    fresh = "%s.tmp-%d" % (libs, os.getpid())
    os.makedirs(fresh)
    pom = os.path.join(fresh, "pom.xml")
    with open(pom, "w", encoding="utf-8") as f:
        f.write(POM % VERSION)
    run = subprocess.run(["nice", "mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DincludeScope=runtime",
                          "-DoutputDirectory=" + fresh], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=900)
    if run.returncode:
        shutil.rmtree(fresh)
        said = [line for line in run.stdout.split("\n") if "ERROR" in line] or ["exit %d" % run.returncode]
        raise Missing("Maven cannot fetch Kafka %s: %s" % (VERSION, said[0][:300]))
    if not os.path.isdir(libs):
        os.rename(fresh, libs)
    return libs


def die_with_parent():
    """For preexec_fn: also a test that is killed leaves nothing running."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Broker:
    """with Broker(cache, folder) as broker: broker.address"""

    def __init__(self, cache, folder):
        self.libs, self.folder, self.process = jars(cache), folder, None
        self.log = os.path.join(folder, "broker.log")
        port, controller = free_ports(2)
        self.port, self.address = port, "127.0.0.1:%d" % port
        self.properties = os.path.join(folder, "server.properties")
        with open(self.properties, "w", encoding="utf-8") as f:
            f.write(PROPERTIES.format(port=port, controller=controller, folder=folder))

    def java(self, main, *args):
        # Small, and with its own priority: a broker that is starved looks like one that is dead.
        return ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
                os.path.join(self.libs, "*"), main, *args]

    def __enter__(self):
        cluster = uuid.uuid4().hex[:22]
        subprocess.run(self.java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", self.properties),
                       check=True, capture_output=True, timeout=START_S)
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.java("kafka.Kafka", self.properties), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
                                            preexec_fn=die_with_parent)
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.2)
        self.__exit__()
        with open(self.log, encoding="utf-8", errors="replace") as f:
            raise AssertionError("the broker does not start: " + f.read()[-2000:])

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
