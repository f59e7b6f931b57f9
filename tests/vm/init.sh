#!/bin/busybox sh
# Process 1 of the virtual machine: mounts what the case on the kernel's command line needs, runs
# each job in /jobs as its user, and writes all results to the second disk as a tar archive.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
busybox mount -t proc proc /proc
busybox mount -o remount,rw /
busybox chown -R 0:0 /bin /etc /jobs /lib /root /sbin /usr
chown -R 1000:1000 /home/student
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=755 tmpfs /run
chmod 1777 /tmp
mkdir -p -m 700 /run/user/1000
chown 1000:1000 /run/user/1000
hostname machine
ip link set lo up
for module in /lib/modules/*.ko; do [ -e "$module" ] && insmod "$module"; done
# A network as machines have one, which leads nowhere.
ip link del dummy0
ip link add eth0 type dummy
ip addr add 192.0.2.10/24 dev eth0
ip link set eth0 up
ip route add default via 192.0.2.1

case=$(sed -n 's/.*machine.case=\([a-z0-9]*\).*/\1/p' /proc/cmdline)
tree=/sys/fs/cgroup
v1() {
  mount -t tmpfs -o mode=755 tmpfs $tree
  for controllers in cpu,cpuacct memory pids freezer blkio cpuset devices; do
    mkdir $tree/$controllers
    mount -t cgroup -o $controllers cgroup $tree/$controllers
  done
  ln -s cpu,cpuacct $tree/cpu
  ln -s cpu,cpuacct $tree/cpuacct
}
case $case in
v2) mount -t cgroup2 cgroup2 $tree ;;
v1) v1 ;;
hybrid)
  v1
  mkdir $tree/unified
  mount -t cgroup2 cgroup2 $tree/unified
  ;;
none) ;;
esac

# A leaf that belongs to the student, with controllers in it, as systemd's user manager gives one;
# and one of root's own, as a login has it.
delegate() {
  all="+cpuset +cpu +io +memory +pids"
  mkdir -p $tree/users/student/shell $tree/system/login
  echo "$all" > $tree/cgroup.subtree_control
  echo "$all" > $tree/users/cgroup.subtree_control
  for owned in student student/cgroup.procs student/cgroup.threads student/cgroup.subtree_control \
    student/shell student/shell/cgroup.procs; do
    chown 1000:1000 $tree/users/$owned
  done
}
[ "$case" = v2 ] && delegate

enter() {
  case $1 in
  student) echo 0 > $tree/users/student/shell/cgroup.procs ;;
  login) echo 0 > $tree/system/login/cgroup.procs ;;
  esac
}

for job in $(cd /jobs && ls | sort -n); do
  who=$(cat "/jobs/$job/who")
  limit=$(cat "/jobs/$job/timeout")
  mkdir -p "/results/$job"
  cd /
  (
    enter "$who"
    case $who in
    root | login) HOME=/root exec timeout -s KILL "$limit" sh "/jobs/$job/run" ;;
    *)
      export HOME=/home/student XDG_RUNTIME_DIR=/run/user/1000
      exec timeout -s KILL "$limit" su -s /bin/sh student "/jobs/$job/run"
      ;;
    esac
  ) > "/results/$job/stdout" 2> "/results/$job/stderr" < /dev/null
  echo $? > "/results/$job/status"
  echo "$(cut -d ' ' -f 1 /proc/uptime) s: job $job of $who ended: $(cat "/results/$job/status")"
done
tar -c -f /dev/nvme1n1 -C /results .
sync
poweroff -f
