use super::*;
use crate::cgroup::testing::TempDir;
use crate::cgroup::{Cgroup, CgroupRecord, V1Directory};

fn fill(dir: &TempDir, files: &[(&str, &str)]) {
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
}

#[test]
fn statistics_are_read_from_v2_files() {
    let dir = TempDir::new("stats2");
    fill(
        &dir,
        &[
            (
                "cpu.stat",
                "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 5\nnr_throttled 2\nthrottled_usec 7\nnr_bursts 1\nburst_usec 3\n",
            ),
            (
                "cpu.pressure",
                "some avg10=1.50 avg60=0.20 avg300=0.00 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n",
            ),
            ("memory.current", "4096\n"),
            ("memory.max", "8192\n"),
            ("memory.peak", "6000\n"),
            ("memory.swap.current", "0\n"),
            ("memory.swap.max", "max\n"),
            ("memory.stat", "anon 1\nfile 77\nkernel 5\n"),
            ("memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0\n"),
            ("pids.current", "3\n"),
            ("pids.max", "max\n"),
            ("io.stat", "8:16 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=3 dios=4\n8:0 \n"),
            ("hugetlb.2MB.current", "0\n"),
            ("hugetlb.2MB.max", "2097152\n"),
            ("hugetlb.2MB.events", "max 6\n"),
            ("hugetlb.2MB.rsvd.current", "1\n"),
            ("rdma.current", "mlx4_0 hca_handle=2 hca_object=20\n"),
            ("rdma.max", "mlx4_0 hca_handle=3 hca_object=max\n"),
        ],
    );
    let cgroup =
        Cgroup::open(CgroupRecord { unified: Some(dir.path().to_owned()), ..CgroupRecord::default() });
    let stats = cgroup.stats().unwrap();
    let cpu = stats.cpu.unwrap();
    assert_eq!((cpu.usage, cpu.user, cpu.system), (30_000, 20_000, 10_000));
    assert_eq!(cpu.throttling.unwrap().throttled, 7000);
    let pressure = cpu.pressure.unwrap();
    assert!((pressure.some.avg10 - 1.5).abs() < 1e-9);
    assert_eq!((pressure.some.total, pressure.full.unwrap().total), (123, 9));
    let memory = stats.memory.unwrap();
    assert_eq!(memory.memory, Counter { usage: 4096, peak: Some(6000), limit: Some(8192), failures: 4 });
    assert_eq!((memory.cache, memory.oom_kills, memory.swap.unwrap().limit), (77, Some(1), None));
    assert_eq!(stats.pids.unwrap(), PidsStats { current: 3, limit: None });
    let devices = stats.io.unwrap().devices;
    assert_eq!((devices.len(), devices[0].minor, devices[1].write_bytes, devices[1].discards), (2, 0, 20, 4));
    let huge = stats.hugetlb["2MB"];
    assert_eq!((huge.used.limit, huge.used.failures, huge.reserved.unwrap().usage), (Some(2_097_152), 6, 1));
    let rdma = stats.rdma["mlx4_0"];
    assert_eq!((rdma.handles, rdma.handles_limit, rdma.objects_limit), (2, Some(3), None));
    let oom = cgroup.out_of_memory().unwrap().unwrap().to_string();
    assert!(
        oom.contains("unable to set memory limit to 8192 (current usage: 4096, peak usage: 6000)"),
        "{oom}"
    );
}

#[test]
fn statistics_are_read_from_v1_files() {
    let dir = TempDir::new("stats1");
    fill(
        &dir,
        &[
            ("cpuacct.usage", "30\n"),
            ("cpuacct.usage_user", "20\n"),
            ("cpuacct.usage_sys", "10\n"),
            ("cpuacct.usage_percpu", "10 20 \n"),
            ("cpuacct.usage_all", "cpu user system\n0 6 4\n1 14 6\n"),
            ("cpuset.cpus", "0-2,5\n"),
            ("cpuset.mems", "0\n"),
            ("cpuset.sched_load_balance", "1\n"),
            ("cpuset.sched_relax_domain_level", "-1\n"),
            ("cpu.stat", "nr_periods 5\nnr_throttled 2\nthrottled_time 7\n"),
            ("memory.usage_in_bytes", "4096\n"),
            ("memory.max_usage_in_bytes", "5000\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory.failcnt", "0\n"),
            ("memory.stat", "cache 1\ntotal_cache 2\n"),
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"),
            (
                "blkio.throttle.io_service_bytes_recursive",
                "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n",
            ),
            ("blkio.throttle.io_serviced_recursive", "8:0 Read 1\n8:0 Write 2\nTotal 3\n"),
        ],
    );
    let hierarchy = "cpu,cpuacct,cpuset,memory,blkio".to_owned();
    let v1 = V1Directory { hierarchy, directory: dir.path().to_owned() };
    let cgroup = Cgroup::open(CgroupRecord { v1: vec![v1], ..CgroupRecord::default() });
    let stats = cgroup.stats().unwrap();
    let cpu = stats.cpu.unwrap();
    assert_eq!((cpu.usage, cpu.per_cpu, cpu.throttling.unwrap().throttled), (30, vec![10, 20], 7));
    assert_eq!((cpu.per_cpu_user, cpu.per_cpu_system), (vec![6, 14], vec![4, 6]));
    let cpuset = stats.cpuset.unwrap();
    assert_eq!((cpuset.cpus, cpuset.mems), (vec![0, 1, 2, 5], vec![0]));
    assert_eq!((cpuset.sched_load_balance, cpuset.sched_relax_domain_level), (1, -1));
    let memory = stats.memory.unwrap();
    assert_eq!((memory.memory.limit, memory.cache, memory.memory_and_swap), (None, 2, None));
    let io = stats.io.unwrap();
    let total = IoEntry { major: 8, minor: 0, operation: "Total".into(), value: 30 };
    assert_eq!((io.tables.service_bytes.len(), &io.tables.service_bytes[2]), (3, &total));
    let device = io.devices[0];
    assert_eq!((device.read_bytes, device.writes), (10, 2));
    assert_eq!(stats.pids, None);
    assert!(cgroup.out_of_memory().unwrap().is_none());
}
